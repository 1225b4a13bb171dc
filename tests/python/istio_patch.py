"""Applies an EnvoyFilter's patches to a static configuration, as Istio would. usage: istio_patch.py ENVOYFILTER BASE OUT"""

import sys

import yaml

patches = yaml.safe_load(open(sys.argv[1]))["spec"]["configPatches"]
base = yaml.safe_load(open(sys.argv[2]))
manager = base["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
ours = next(f for f in manager["http_filters"] if f["name"] == "partywall")
module = ours["typed_config"]["config"]["vm_config"]["code"]
key = ours["typed_config"]["config"]["configuration"]["value"].split('"public_keys": ["')[1].split('"')[0]
manager["http_filters"] = [f for f in manager["http_filters"] if f["name"] != "partywall"]
for name in ["normalize_path", "merge_slashes", "path_with_escaped_slashes_action"]:
    manager.pop(name)
for patch in patches:
    value = patch["patch"]["value"]
    if patch["applyTo"] == "HTTP_FILTER":
        assert patch["patch"]["operation"] == "INSERT_BEFORE"
        config = value["typed_config"]["config"]
        config["vm_config"]["code"] = module  # the file's place differs here, and the key must be one
        config["configuration"]["value"] = config["configuration"]["value"].replace("PUBLIC-KEY", key)
        manager["http_filters"].insert(len(manager["http_filters"]) - 1, value)
    else:
        manager.update(value["typed_config"])
cluster = dict(base["static_resources"]["clusters"][-1])
cluster["name"] = "outbound|8700||partywall.partywall-system.svc.cluster.local"
base["static_resources"]["clusters"].append(cluster)
yaml.safe_dump(base, open(sys.argv[3], "w"))
