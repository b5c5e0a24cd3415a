"""How a component or a tool gets onto a machine: pulled as its official image, or built here from package registries."""
