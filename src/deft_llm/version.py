"""The package's version, read by the build, the command and every record that names its builder."""

__version__ = "0.1.0"
