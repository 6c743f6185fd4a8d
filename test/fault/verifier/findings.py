"""What is wrong, in sentences, and the comparison of what should be there with what is."""
import collections
import dataclasses

EXAMPLES_MAX = 10


@dataclasses.dataclass(frozen=True)
class Finding:
    """`kind`: a word for programs; `text`: for people, with examples."""
    kind: str
    text: str

    def __str__(self):
        return self.text


def of(kind, title, examples):
    """One finding of any number of cases, or none."""
    examples = [str(example) for example in examples]
    if not examples:
        return []
    shown = "".join(f"\n  {example}" for example in examples[:EXAMPLES_MAX])
    more = f"\n  and {len(examples) - EXAMPLES_MAX} more" if len(examples) > EXAMPLES_MAX else ""
    return [Finding(kind, f"{len(examples)} {title}:{shown}{more}")]


def compared(what, expected, actual, show):
    """Two lists of (identity, content): each expected one must be there once, with its content, and nothing else.
    `show(identity, content)` makes a line of one."""
    want, have = dict(expected), collections.Counter(identity for identity, _ in actual)
    content = dict(actual)
    found = of("missing", f"{what} missing", [show(key, want[key]) for key in want if key not in have])
    found += of("twice", f"{what} more than once", [f"{count} times: {show(key, content[key])}" for key, count in have.items()
                                                    if count > 1 and key in want])
    found += of("extra", f"{what} extra", [show(key, content[key]) for key in have if key not in want])
    found += of("different", f"{what} with another content",
                [f"expected {show(key, want[key])}\n    found    {show(key, value)}" for key, value in actual
                 if key in want and value != want[key]])
    return found
