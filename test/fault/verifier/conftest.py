"""The tests of the verifier find it, and the tests' Python that it works with."""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE.parent, HERE.parents[1] / "broker"):
    sys.path.insert(0, str(folder))
