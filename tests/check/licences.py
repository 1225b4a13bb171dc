"""Every dependency's licence must be one that goes with Apache-2.0."""

import json
import re
import subprocess
import sys

ALLOWED = {
    "Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unicode-3.0", "Unlicense", "CC0-1.0", "0BSD",
    "MIT-0", "CDLA-Permissive-2.0", "BSL-1.0", "Apache-2.0 WITH LLVM-exception",
}

metadata = json.loads(
    subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked"], check=True, capture_output=True).stdout
)
bad = []
for package in metadata["packages"]:
    licence = package.get("license") or ""
    # One alternative of an OR must be allowed in all its AND parts.
    alternatives = re.split(r"\s+OR\s+|/", licence.replace("(", "").replace(")", ""))
    if not any(all(part.strip() in ALLOWED for part in re.split(r"\s+AND\s+", a)) for a in alternatives):
        bad.append(f"{package['name']} {package['version']}: {licence or 'no licence'}")
if bad:
    sys.exit("licences that are not on the list in tests/check/licences.py:\n  " + "\n  ".join(bad))
print(f"licences: {len(metadata['packages'])} packages, all on the list")
