"""README's map of the tree must name every top-level entry, and every link in the documents must lead somewhere."""

import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
tracked = subprocess.run(["git", "ls-files"], cwd=root, check=True, capture_output=True, text=True).stdout.split("\n")
top = {name.split("/")[0] + ("/" if "/" in name else "") for name in tracked if name}
readme = (root / "README.md").read_text()
problems = [f"README.md: the map does not name `{name}`" for name in sorted(top) if f"`{name}`" not in readme]
for name in tracked:
    if not name.endswith(".md"):
        continue
    text = (root / name).read_text()
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        if not (root / name).parent.joinpath(link).exists():
            problems.append(f"{name}: the link {link} leads nowhere")
    for path in re.findall(r"`((?:docs|envoy|filter|control-plane|tests)/[\w./-]+)`", text):
        if not (root / path.rstrip("/")).exists():
            problems.append(f"{name}: `{path}` does not exist")
if problems:
    sys.exit("\n".join(problems))
print("tree: README and documents name what is there")
