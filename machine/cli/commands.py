"""The commands of pymachine, named without importing them. Bare verbs mean machines, as in docker-machine."""

from __future__ import annotations

from typing import Final

from machine.cli.framework import Row

_MACHINES: Final = "Machines"
_CONTAINERS: Final = "Containers (on the chosen machine)"
_IMAGES: Final = "Images (on the chosen machine)"
_VOLUMES: Final = "Volumes (on the chosen machine)"

CONTAINER: Final = (
    Row("run", "run:run", "Run a command in a new container"),
    Row("create", "run:create", "Create a container without starting it"),
    Row("ls", "ps:ps", "List containers"),
    Row("start", "containers:start", "Start stopped containers"),
    Row("stop", "containers:stop", "Stop running containers"),
    Row("restart", "containers:restart", "Restart containers"),
    Row("kill", "containers:kill", "Send a signal to containers"),
    Row("rm", "containers:remove", "Remove containers"),
    Row("inspect", "containers:inspect", "Show all that is known about containers, as JSON"),
    Row("logs", "logs:logs", "Show what a container has written"),
    Row("exec", "execute:execute", "Run a command in a running container"),
    Row("attach", "execute:attach", "Attach the terminal to a running container"),
    Row("wait", "containers:wait", "Wait for containers to end and print their exit codes"),
    Row("rename", "containers:rename", "Give a container another name"),
    Row("pause", "containers:pause", "Freeze all processes of containers"),
    Row("unpause", "containers:unpause", "Let paused containers go on"),
    Row("update", "update:update", "Change limits and restart policy of containers"),
    Row("stats", "stats:stats", "Show what containers use: CPU, memory, network, disk"),
    Row("top", "top:top", "Show the processes of a container"),
    Row("port", "container_data:port", "Show where a container's ports are published"),
    Row("cp", "copy:copy", "Copy files between a container and this computer"),
    Row("diff", "container_data:diff", "Show which files a container has changed"),
    Row("export", "container_data:export", "Save a container's file system to a tar archive"),
    Row("prune", "disk:prune_containers", "Remove all containers that do not run"),
    Row("commit", "container_data:commit", "Make an image of what a container has changed"),
)

IMAGE: Final = (
    Row("build", "build:build", "Build an image from a Dockerfile"),
    Row("ls", "images:ls", "List images"),
    Row("pull", "image_transfer:pull", "Pull an image from a registry"),
    Row("push", "image_transfer:push", "Push an image to a registry"),
    Row("push-to", "image_push_to:push_to", "Copy an image to other machines, only what they lack"),
    Row("load", "image_transfer:load", "Load images from a tar archive"),
    Row("save", "image_transfer:save", "Save images to a tar archive"),
    Row("import", "image_transfer:import_", "Make an image of a file system in a tar archive"),
    Row("tag", "images:tag", "Give an image another name"),
    Row("inspect", "images:inspect", "Show all that is known about images, as JSON"),
    Row("history", "images:history", "Show how an image was made"),
    Row("rm", "images:remove", "Remove images"),
    Row("prune", "disk:prune_images", "Remove images that nothing needs"),
)

VOLUME: Final = (
    Row("create", "volumes:create", "Create a volume"),
    Row("ls", "volumes:ls", "List volumes"),
    Row("inspect", "volumes:inspect", "Show all that is known about volumes, as JSON"),
    Row("export", "volumes:export", "Save a volume to a tar archive"),
    Row("import", "volumes:import_", "Make a volume of a tar archive"),
    Row("rm", "volumes:remove", "Remove volumes"),
    Row("prune", "volumes:prune", "Remove volumes that no container has"),
)

SYSTEM: Final = (
    Row("df", "disk:df", "Show what takes the machine's disk"),
    Row("events", "events:events", "Show what happens on the machine, as it happens"),
    Row("info", "about:info", "Show what the machine and its engine are, have and lack"),
)

BUILDER: Final = (Row("prune", "disk:prune_builds", "Remove what builds have kept for later builds"),)

TOP: Final = (
    Row("create", "machine_create:create", "Create a machine and put the engine on it", _MACHINES),
    Row("up", "up:up", "Make a machine for a compose project, and remove it at the end", _MACHINES),
    Row("ls", "machine_ls:ls", "List machines", _MACHINES),
    Row("adopt", "machine_account:adopt", "Take over machines that are in a cloud account", _MACHINES),
    Row("gc", "machine_account:gc", "Remove what unfinished creates have left in a cloud account", _MACHINES),
    Row("start", "machine_power:start", "Start machines", _MACHINES),
    Row("stop", "machine_power:stop", "Stop machines", _MACHINES),
    Row("rm", "machine_rm:remove", "Remove machines and all that is on them", _MACHINES),
    Row("inspect", "machine_show:inspect", "Show all that is known about machines, as JSON", _MACHINES),
    Row("ip", "machine_show:ip", "Print a machine's address", _MACHINES),
    Row("ssh", "machine_ssh:ssh", "Log in to a machine, or run a command on it", _MACHINES),
    Row("env", "machine_env:env", "Print what points a docker client at a machine", _MACHINES),
    Row("use", "machine_show:use", "Choose the machine that commands act on", _MACHINES),
    Row("forward", "forward:forward", "Forward ports between this computer and a machine", _MACHINES),
    Row("run", "run:run", "Run a command in a new container", _CONTAINERS),
    Row("ps", "ps:ps", "List containers", _CONTAINERS),
    Row("logs", "logs:logs", "Show what a container has written", _CONTAINERS),
    Row("exec", "execute:execute", "Run a command in a running container", _CONTAINERS),
    Row("cp", "copy:copy", "Copy files between a container and this computer", _CONTAINERS),
    Row("stats", "stats:stats", "Show what containers use: CPU, memory, network, disk", _CONTAINERS),
    Row("compose", "compose:compose", "Run the installed Compose on the machine", _CONTAINERS),
    Row("container", CONTAINER, "Manage containers: start, stop, rm, inspect, …", _CONTAINERS),
    Row("build", "build:build", "Build an image from a Dockerfile", _IMAGES),
    Row("images", "images:ls", "List images", _IMAGES),
    Row("pull", "image_transfer:pull", "Pull an image from a registry", _IMAGES),
    Row("push", "image_transfer:push", "Push an image to a registry", _IMAGES),
    Row("load", "image_transfer:load", "Load images from a tar archive", _IMAGES),
    Row("save", "image_transfer:save", "Save images to a tar archive", _IMAGES),
    Row("import", "image_transfer:import_", "Make an image of a file system in a tar archive", _IMAGES),
    Row("tag", "images:tag", "Give an image another name", _IMAGES),
    Row("rmi", "images:remove", "Remove images", _IMAGES),
    Row("login", "registry:login", "Log in to a registry", _IMAGES),
    Row("logout", "registry:logout", "Forget the credentials of a registry", _IMAGES),
    Row("search", "registry:search", "Search a registry for images", _IMAGES),
    Row("image", IMAGE, "Manage images: ls, inspect, history, …", _IMAGES),
    Row("volume", VOLUME, "Manage volumes: create, ls, export, import, rm, …", _VOLUMES),
    Row("builder", BUILDER, "Manage the build cache: prune", _IMAGES),
    Row("system", SYSTEM, "Look at the whole machine: df, events, info", "More"),
    Row("info", "about:info", "Show what the machine and its engine are, have and lack", "More"),
    Row("events", "events:events", "Show what happens on the machine, as it happens", "More"),
    Row("version", "about:version", "Show the versions of pymachine and of the engine", "More"),
)
