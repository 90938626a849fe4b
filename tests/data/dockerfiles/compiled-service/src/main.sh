#!x
main() { echo hello; }
