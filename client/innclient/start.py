"""Where `inn` begins."""

from innerd.start import begin


def main() -> None:
    begin("inn", "innclient.cli", quick="innclient.verbs.quick")
