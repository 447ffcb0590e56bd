"""Why a network's log can't be used, as a command says it: the one table from the store's errors to failures."""

from innerd.failure import SYSTEM, TRUST, Failure
from innerd.log.codec import UnknownEvent
from innerd.log.store import StoreError, StoreNewer, StoreUncertain

LogError = StoreError | StoreNewer | StoreUncertain | UnknownEvent


def failure(error: LogError, where: str = "the log") -> Failure:
    """What can't get better by itself ends with 7; what may, with 6. `where`: whose records don't fit."""
    match error:
        case StoreError(fault="tampered"):
            return Failure(TRUST, "log_corrupt", f"{where} is not what was written: {error}", error.hint)
        case StoreError():
            code = "log_corrupt" if error.is_damage else "store_unavailable"
            return Failure(TRUST if error.is_damage else SYSTEM, code, str(error), error.hint)
        case StoreUncertain():
            hint = "look what is there before you do it again"
            return Failure(SYSTEM, "store_unavailable", f"nobody knows whether it was written: {error}", hint)
        case _:
            message = f"a newer release wrote {where}: {error}"
            return Failure(SYSTEM, "log_newer", message, "nothing was changed; install that release, or a newer one")
