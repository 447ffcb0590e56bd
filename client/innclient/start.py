"""Where `inn` begins."""

from innerd.start import begin


def main() -> None:
    begin("innclient.cli")
