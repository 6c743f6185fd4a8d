#!/usr/bin/env python3
"""presets_test.py HEARTBEATD ROOT: docs/presets.md says of every preset what it is; `check` accepts presets and rule sets; and what
`check --print` shows has every constant, and loads again as the same."""
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

# Said in sentences, or no constants.
NOT_IN_TABLES = re.compile(r"measures\.|rules\.[^.]*\.(id|detector|measure|severity|action|annotations|of|to|value|baseline|horizon)\b")
failures = []


def load(path):
    return yaml.load(path.read_text(), yaml.BaseLoader)


def leaves(node, path=""):
    """{"lifecycle.at_risk.new_gaps": "2"}; rules by their id; lists of texts as one value."""
    if isinstance(node, dict):
        return {key: value for name, child in node.items() for key, value in leaves(child, f"{path}.{name}".lstrip(".")).items()}
    if isinstance(node, list) and node and isinstance(node[0], dict):
        return {key: value for child in node for key, value in leaves(child, f"{path}.{child.get('id') or child['name']}").items()}
    return {path: ", ".join(node) if isinstance(node, list) else node}


def check_page(root, presets):
    said = {name: {} for name in presets}
    for table in re.findall(r"^\| constant \|(.*?)\n\n", (root / "docs/presets.md").read_text(), re.M | re.S):
        head, _, *rows = table.split("\n")
        names = [cell.strip() for cell in head.split("|")][:len(presets)]
        for row in rows:
            constant, *values = [cell.strip().strip("`") for cell in row.strip("|").split("|")]
            for name, value in zip(names, values):
                if value not in ("-", "every event", "purchases"):
                    said[name][constant.strip("`")] = value
    for name, preset in presets.items():
        is_so = {path: value for path, value in leaves(preset).items() if not NOT_IN_TABLES.match(path)}
        for path in sorted(said[name].keys() | is_so.keys()):
            if said[name].get(path) != is_so.get(path):
                failures.append(f"{name}: {path} is {is_so.get(path)}, docs/presets.md says {said[name].get(path)}")


def printed(heartbeatd, paths):
    files = [part for path in paths for part in ("--config", path)]
    done = subprocess.run([heartbeatd, "check", "--print", *files], capture_output=True, text=True)
    if done.returncode:
        failures.append(f"check {paths}: {done.stderr}")
    return done.stdout


def check_print(heartbeatd, paths, expected, folder):
    """What is printed has all that is expected, and says the same when it is read again, wherever it lies."""
    text = printed(heartbeatd, paths)
    again = folder / "elsewhere" / "printed.yaml"
    again.parent.mkdir(exist_ok=True)
    again.write_text(text)
    if printed(heartbeatd, [again]) != text:
        failures.append(f"{paths}: what is printed loads as something else")
    shown = leaves(yaml.load(text, yaml.BaseLoader))
    for constant, value in expected.items():
        if shown.get(constant) != value:
            failures.append(f"{paths}: {constant} is {value}, --print shows {shown.get(constant)}")


def main():
    heartbeatd, root = sys.argv[1], pathlib.Path(sys.argv[2])
    presets = {path.stem: load(path) for path in sorted((root / "config/presets").glob("*.yaml"))}
    check_page(root, presets)
    needed = {"kafka": {"brokers": "127.0.0.1:9092"}, "input": {"topics": ["events"]}}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for preset, constants in presets.items():
            (folder / "config.yaml").write_text(yaml.safe_dump({**needed, "preset": preset}))
            check_print(heartbeatd, [folder / "config.yaml"], leaves(constants), folder)
        for rule_set in ("e-commerce", "saas"):
            path = root / "config" / f"{rule_set}.yaml"
            own = leaves(load(path))
            kept = {name: value for name, value in leaves(presets[rule_set]).items()
                    if not any(one.startswith(name + ".") for one in own)}  # a value for everybody, now one for each tier
            check_print(heartbeatd, [path], {**kept, **own}, folder)
        # Rule files, one with a model beside it, and a second configuration that overrides a rule of theirs.
        files = sorted((root / "config/rules").glob("*.yaml"))
        (folder / "all.yaml").write_text(yaml.safe_dump(
            {**needed, "value_tiers": {"high": 1000, "middle": 200}, "rule_files": [str(root / "config/rules/*.yaml")]}))
        rules = {path: value for file in files for path, value in leaves(load(file)).items() if not path.endswith(".model")}
        (folder / "over.yaml").write_text(yaml.safe_dump({"rules": [{"id": "buys-less", "cooldown": "99d"}]}))
        check_print(heartbeatd, [folder / "all.yaml", folder / "over.yaml"], {**rules, "rules.buys-less.cooldown": "99d"}, folder)
    for failure in failures:
        print(failure)
    print(f"{len(presets)} presets, {len(failures)} failures")
    return 1 if failures or len(presets) != 5 else 0


if __name__ == "__main__":
    sys.exit(main())
