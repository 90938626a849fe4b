-- The image that this one was made from on this host (docker commit); it may be gone. NULL = came from elsewhere.
ALTER TABLE image ADD COLUMN parent TEXT;
