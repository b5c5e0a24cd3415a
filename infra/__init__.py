"""The Pulumi program of Crowsnest: declares containers, volumes, networks and retention; never configures."""
