import contextlib
import json
import sys
import traceback

from .util import jsoncomm

RUN = "/run/osbuild"


def arguments(path=None):
    with open(path or RUN + "/api/arguments", encoding="utf8") as f:
        return json.load(f)


def metadata(value, path=None):
    with open(path or RUN + "/meta", "w", encoding="utf8") as f:
        json.dump(value, f)


def exception(error, path=None):
    traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
    what = {"type": type(error).__name__, "value": str(error), "traceback": "".join(traceback.format_tb(error.__traceback__))}
    jsoncomm.send(path or RUN + "/api/osbuild", {"method": "exception", "exception": what})
    sys.exit(2)


@contextlib.contextmanager
def exception_handler(path=None):
    try:
        yield
    except Exception as error:  # whatever it is, it is to be reported
        exception(error, path)
