"""The official Chroma client, unmodified, as two tenants on one collection, through the proxy.

usage: chroma_client.py EDGE_PORT CHROMA_PORT ACME_TOKEN BETA_TOKEN
"""

import sys

import chromadb
import httpx
from chromadb.config import Settings

edge, direct, acme_token, beta_token = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
quiet = lambda: Settings(anonymized_telemetry=False)  # the client writes into it


def client(token):
    headers = {"Authorization": f"Bearer {token}", "Host": "chroma.test"}
    return chromadb.HttpClient(host="127.0.0.1", port=edge, headers=headers, settings=quiet())


def refused(call, *words):
    try:
        call()
    except Exception as error:  # the client has a type of its own per status
        text = str(error)
        assert any(word in text for word in words), text
        return
    raise AssertionError("was not refused")


acme, beta = client(acme_token), client(beta_token)
docs = acme.get_or_create_collection("docs", embedding_function=None)
theirs = beta.get_collection("docs", embedding_function=None)
assert docs.id != theirs.id  # one collection, sealed to each tenant

docs.add(
    ids=["a", "b", "c"],
    embeddings=[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.9, 0.1, 0.0]],
    documents=["doc a", "doc b", "doc c"],
    metadatas=[{"n": 1}, {"n": 2, "tenant_id": "t_beta"}, {"n": 3}],
)
theirs.add(ids=["a"], embeddings=[[1.0, 0.0, 0.0]], documents=["beta's a"])
theirs.upsert(ids=["b", "z"], embeddings=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], documents=["beta's b", "beta's z"])

got = docs.get(include=["documents", "metadatas", "embeddings"])
assert got["ids"] == ["a", "b", "c"], got
assert got["documents"] == ["doc a", "doc b", "doc c"]
assert got["metadatas"] == [{"n": 1}, {"n": 2}, {"n": 3}], got["metadatas"]
assert [list(map(round, map(float, e))) for e in got["embeddings"]] == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
assert docs.get(ids=["a"])["documents"] == ["doc a"]
assert theirs.get(ids=["a"])["documents"] == ["beta's a"]
assert docs.get(ids=["beta:a", "t_beta:a"])["ids"] == []
assert docs.get(where={"n": {"$gt": 1}}, limit=1, offset=1)["ids"] == ["c"]
assert docs.get(where_document={"$contains": "doc b"})["ids"] == ["b"]
assert docs.get(include=["documents"])["metadatas"] is None

found = docs.query(query_embeddings=[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], n_results=2)
assert found["ids"] == [["a", "c"], ["b", "c"]], found
assert found["documents"] == [["doc a", "doc c"], ["doc b", "doc c"]]
assert found["distances"][0][0] < 1e-6
wide = {"$or": [{"tenant_id": "t_beta"}, {"tenant_id": {"$ne": "x"}}]}
assert docs.query(query_embeddings=[[1.0, 0.0, 0.0]], n_results=9, where=wide)["ids"] == [["a", "c", "b"]]
assert docs.query(query_embeddings=[[1.0, 0.0, 0.0]], n_results=9, where={"tenant_id": "t_beta"})["ids"] == [[]]
bare = docs.query(query_embeddings=[[1.0, 0.0, 0.0]], n_results=1, include=["distances"])
assert bare["metadatas"] is None and bare["documents"] is None and bare["ids"] == [["a"]]

assert docs.peek(limit=2)["ids"] == ["a", "b"]
docs.update(ids=["a"], embeddings=[[1.0, 0.0, 0.0]], documents=["doc a2"], metadatas=[{"n": 10}])
theirs.update(ids=["c"], embeddings=[[0.0, 0.0, 1.0]], documents=["hijacked"])
assert docs.get(ids=["a", "c"])["documents"] == ["doc a2", "doc c"]
theirs.delete(ids=["c"])
theirs.delete(where={"n": {"$gt": 0}})
assert docs.get()["ids"] == ["a", "b", "c"]
docs.delete(ids=["b"])
assert docs.get()["ids"] == ["a", "c"]
assert theirs.get()["ids"] == ["a", "b", "z"]

assert [c.name for c in acme.list_collections()] == ["docs"]
assert (docs.count(), theirs.count()) == (2, 3)
assert (acme.count_collections(), acme.list_collections()[0].id) == (1, docs.id)
refused(lambda: acme.create_collection("mine", embedding_function=None), "namespace_forbidden", "403")
refused(lambda: acme.delete_collection("docs"), "namespace_forbidden", "403")
stolen = f"http://127.0.0.1:{edge}/api/v2/tenants/default_tenant/databases/default_database/collections/{theirs.id}"
headers = {"Authorization": f"Bearer {acme_token}", "Host": "chroma.test"}
assert httpx.post(f"{stolen}/get", json={}, headers=headers).status_code == 404
assert httpx.get(f"{stolen}/count", headers=headers).status_code == 404
refused(lambda: docs.modify(name="stolen"), "endpoint_unknown", "403")
refused(lambda: acme.reset(), "endpoint_unknown", "403", "disabled")

# What the database holds: every record marked, every id scoped.
store = chromadb.HttpClient(host="127.0.0.1", port=direct, settings=quiet())
raw = store.get_collection("docs", embedding_function=None).get()
assert sorted(raw["ids"]) == ["acme:a", "acme:c", "beta:a", "beta:b", "beta:z"], raw["ids"]
for record, metadata in zip(raw["ids"], raw["metadatas"]):
    assert metadata["tenant_id"] == "t_" + record.split(":")[0], (record, metadata)

# Poisoned data that slipped in by another way: an unmarked record under acme's prefix, and beta's marker under acme's prefix.
backdoor = store.get_collection("docs", embedding_function=None)
backdoor.add(ids=["acme:ghost", "ghost"], embeddings=[[1.0, 0.0, 0.0]] * 2, documents=["beta's price", "marked, unscoped"],
             metadatas=[{"tenant_id": "t_beta"}, {"tenant_id": "t_acme"}])
assert docs.get()["ids"] == ["a", "c"]
assert "ghost" not in str(docs.query(query_embeddings=[[1.0, 0.0, 0.0]], n_results=9))
print("chroma client: ok")
