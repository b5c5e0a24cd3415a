"""A Docker provider for the Pulumi engine, for machines that cannot download the official plugin.

It speaks the property names of `pulumi_docker` 5.2.0 for Container, Network, Volume and RemoteImage, so that one Pulumi
program runs with either provider. The engine starts it as an executable `pulumi-resource-docker` found on PATH, which
runs `python -m supply.docker_provider`.
"""
