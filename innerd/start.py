"""Where `innerd` begins."""

from innclient.start import begin


def main() -> None:
    begin("innerd.cli")
