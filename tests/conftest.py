"""What all tests share: logs go to stderr and say what an administrator must know, as they do where a command runs."""

from innclient import logs

logs.configure("text", 0)
