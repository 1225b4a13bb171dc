"""The official Pinecone client, unmodified, as two tenants on one index, through the proxy.

usage: pinecone_client.py PHASE EDGE_PORT ACME_TOKEN BETA_TOKEN

PHASE is `work`, or `after`: once strange records were put into the index by another way.
"""

import sys
import warnings

from pinecone import Pinecone

warnings.simplefilter("ignore", RuntimeWarning)  # of plain HTTP to a name

phase, edge, acme_token, beta_token = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4]


def index(token):
    # The client takes the Host header from the index's address, so the edge is its HTTP proxy.
    headers = {"Authorization": f"Bearer {token}"}
    client = Pinecone(api_key="not-a-key", additional_headers=headers, proxy_url=f"http://127.0.0.1:{edge}")
    return client.Index(host="http://pinecone.test")


def refused(call, *words):
    try:
        call()
    except Exception as error:  # the client has a type of its own per status
        text = str(error)
        assert any(word in text for word in words), text
        return
    raise AssertionError("was not refused")


def ids(answer):
    return [match.id for match in answer.matches]


def listed(index, **options):
    return [item.id for page in index.list(**options) for item in page.vectors]


acme, beta = index(acme_token), index(beta_token)

if phase == "after":
    assert ids(acme.query(vector=[1.0, 0.0, 0.0], top_k=9)) == ["c"]
    assert ids(acme.query(vector=[1.0, 0.0, 0.0], top_k=9, include_metadata=True)) == ["c"]
    assert sorted(acme.fetch(ids=["c", "ghost", "stray"]).vectors) == ["c"]
    assert sorted(acme.fetch_by_metadata(filter={"n": {"$gte": 0}}).vectors) == ["c"]
    acme.update(id="ghost", set_metadata={"tenant_id": "t_acme", "n": 3})
    acme.update(id="stray", set_metadata={"tenant_id": "t_acme", "n": 3})
    assert sorted(acme.fetch_by_metadata(filter={"n": 3}).vectors) == ["c"]  # an update takes nothing in
    acme.delete(delete_all=True)
    assert listed(acme) == []
    assert listed(beta) == ["a", "b", "t1", "z"]
    print("pinecone client, after: ok")
    sys.exit()

acme.upsert(
    vectors=[
        {"id": "a", "values": [1.0, 0.0, 0.0], "metadata": {"n": 1, "text": "doc a"}},
        {"id": "b", "values": [0.0, 1.0, 0.0], "metadata": {"n": 2, "tenant_id": "t_beta"}},
        {"id": "c", "values": [0.9, 0.1, 0.0], "metadata": {"n": 3}},
        ("d", [0.1, 0.1, 0.1]),
    ]
)
beta.upsert(vectors=[("a", [1.0, 0.0, 0.0], {"n": 7}), ("b", [0.0, 1.0, 0.0], {"n": 1}), ("z", [0.0, 0.0, 1.0])])

found = acme.query(vector=[1.0, 0.0, 0.0], top_k=2, include_metadata=True, include_values=True)
assert ids(found) == ["a", "c"] and found.namespace == "", found
assert found.matches[0].metadata == {"n": 1, "text": "doc a"}, found
assert list(found.matches[0].values) == [1.0, 0.0, 0.0]
assert acme.query(vector=[1.0, 0.0, 0.0], top_k=1).matches[0].metadata is None
assert ids(acme.query(id="b", top_k=1)) == ["b"]
assert ids(acme.query(id="z", top_k=9)) == []  # beta's
assert ids(acme.query(vector=[1.0, 0.0, 0.0], top_k=9, filter={"n": {"$gt": 1}})) == ["c", "b"]
wide = {"$or": [{"tenant_id": "t_beta"}, {"tenant_id": {"$ne": "x"}}]}
assert ids(acme.query(vector=[1.0, 0.0, 0.0], top_k=9, filter=wide)) == ["a", "c", "d", "b"]
assert ids(acme.query(vector=[1.0, 0.0, 0.0], top_k=9, filter={"tenant_id": "t_beta"})) == []
assert acme.query(vector=[1.0, 0.0, 0.0], top_k=1, namespace="__default__").namespace == "__default__"

fetched = acme.fetch(ids=["a", "b", "z"])
assert sorted(fetched.vectors) == ["a", "b"] and fetched.vectors["b"].metadata == {"n": 2}, fetched
assert list(acme.fetch(ids=["d"]).vectors["d"].values) == [0.1, 0.1, 0.1]
page = acme.fetch_by_metadata(filter={"n": {"$gte": 1}}, limit=2)
assert sorted(page.vectors) == ["a", "b"] and page.pagination.next
rest = acme.fetch_by_metadata(filter={"n": {"$gte": 1}}, limit=2, pagination_token=page.pagination.next)
assert sorted(rest.vectors) == ["c"] and rest.pagination is None
assert listed(acme, limit=3) == ["a", "b", "c", "d"]
assert listed(acme, prefix="c") == ["c"]
assert listed(beta) == ["a", "b", "z"]

stats = acme.describe_index_stats()
assert stats.total_vector_count == 4 and list(stats.namespaces) == ["__default__"], stats
assert stats.dimension == 3

acme.update(id="a", set_metadata={"n": 10, "tenant_id": "t_beta"})
assert acme.fetch(ids=["a"]).vectors["a"].metadata == {"n": 10, "text": "doc a"}
assert acme.update(filter={"n": {"$gte": 1}}, set_metadata={"seen": True}, dry_run=True).matched_records == 3
beta.update(filter={"n": {"$gte": 0}}, set_metadata={"hijacked": True})
beta.update(id="c", values=[0.0, 0.0, 1.0])
assert "hijacked" not in acme.fetch(ids=["b"]).vectors["b"].metadata
beta.delete(ids=["c", "d"])
beta.delete(filter={"tenant_id": {"$in": ["t_acme"]}})
assert listed(acme) == ["a", "b", "c", "d"]
acme.delete(ids=["d"])
acme.delete(filter={"n": {"$lt": 3}})
assert listed(acme) == ["a", "c"]

acme.upsert_records(namespace="__default__", records=[{"_id": "t1", "chunk_text": "about apples"}, {"_id": "t2", "chunk_text": "zzz"}])
beta.upsert_records(namespace="__default__", records=[{"_id": "t1", "chunk_text": "beta's price", "tenant_id": "t_acme"}])
hits = acme.search(namespace="__default__", top_k=3, inputs={"text": "apples"}, fields=["chunk_text"], filter={"chunk_text": {"$exists": True}})
assert [hit.id for hit in hits.result.hits] == ["t1", "t2"], hits
assert hits.result.hits[0].fields == {"chunk_text": "about apples"}, hits
assert "beta" not in str(hits)
acme.delete(ids=["a", "t1", "t2"])

refused(lambda: acme.query(vector=[1.0, 0.0, 0.0], top_k=1, namespace="t_beta"), "tenant's namespace")
refused(lambda: acme.fetch(ids=["a"], namespace="t_beta"), "tenant's namespace")
refused(lambda: acme.delete(delete_all=True, namespace="t_beta"), "tenant's namespace")
refused(lambda: acme.upsert_records(namespace="t_beta", records=[{"_id": "x"}]), "tenant's namespace")
refused(lambda: acme.describe_index_stats(filter={"n": 1}), "does not take")
refused(lambda: acme.list_namespaces_paginated(), "does not serve")
refused(lambda: acme.delete_namespace(name="t_beta"), "does not serve")
refused(lambda: acme.list_imports_paginated(), "does not serve")
refused(lambda: acme.query(vector=[1.0], top_k=1), "dimension")  # the backend's own word
print("pinecone client: ok")
