"""One ComponentResource a pipeline: a way that telemetry takes."""
