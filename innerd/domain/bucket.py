"""How often, or how much, in a time. Pure: the time is an argument."""

from msgspec import Struct


class Bucket(Struct):
    """Holds `most`, and `rate` more comes in a second."""

    rate: float
    most: float
    left: float = -1.0  # as much as there is room for
    at: float = 0.0

    def take(self, amount: float, now: float) -> bool:
        """Take so much out, if it is there."""
        before = self.most if self.left < 0 else self.left
        self.left = min(self.most, before + max(0.0, now - self.at) * self.rate)
        self.at = now
        if self.left < amount:
            return False
        self.left -= amount
        return True
