"""The official Elasticsearch and OpenSearch clients, unmodified, as two tenants on one index, through the proxy.

usage: elasticsearch_client.py KIND STEP EDGE_PORT ACME_TOKEN BETA_TOKEN
"""

import sys
import warnings

import elasticsearch
import elasticsearch.helpers
import opensearchpy
import opensearchpy.helpers

warnings.simplefilter("ignore")  # http without TLS
kind, step, edge, acme_token, beta_token = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]
elastic = kind == "elasticsearch"


def client(token):
    if elastic:
        headers = {"host": "elasticsearch.test"}
        return elasticsearch.Elasticsearch(f"http://127.0.0.1:{edge}", bearer_auth=token, headers=headers, max_retries=0)
    headers = {"host": "opensearch.test", "authorization": f"Bearer {token}"}
    return opensearchpy.OpenSearch([{"host": "127.0.0.1", "port": edge}], headers=headers, max_retries=0)


bulk = (elasticsearch.helpers if elastic else opensearchpy.helpers).bulk
Error = elasticsearch.ApiError if elastic else opensearchpy.TransportError
NotFound = elasticsearch.NotFoundError if elastic else opensearchpy.NotFoundError
Conflict = elasticsearch.ConflictError if elastic else opensearchpy.ConflictError


def body(call, index="docs", **fields):
    """One spelling of a call for both clients."""
    return call(index=index, **fields) if elastic else call(index=index, body=fields)


def search(tenant, **fields):
    return body(tenant.search, **fields)


def ids(answer):
    return [hit["_id"] for hit in answer["hits"]["hits"]]


def refused(call, *words):
    try:
        call()
    except Error as error:
        text = f"{error} {getattr(error, 'info', '')}"
        assert any(word in text for word in words), text
        return
    raise AssertionError("was not refused")


def near(vector, k, **more):
    if elastic:
        return {"knn": {"field": "v", "query_vector": vector, "k": k, "num_candidates": 50, **more}}
    return {"query": {"knn": {"v": {"vector": vector, "k": k, **more}}}}


acme, beta = client(acme_token), client(beta_token)

if step == "poisoned":
    # A document that was updated comes last.
    assert ids(search(acme, query={"match_all": {}}, size=50)) == ["c", "a", "n7"]
    poisoned = search(acme, query={"match_all": {}}, aggs={"t": {"terms": {"field": "tag"}}})
    assert "aggregations" not in poisoned and "SECRET" not in str(poisoned)
    assert ids(search(acme, **near([1.0, 0.0, 0.0], 9))) == ["a", "c", "n7"]
    for call in (acme.get, acme.get_source):
        try:
            call(index="docs", id="ghost")
        except NotFound:
            continue
        raise AssertionError("a foreign document was found")
    got = body(acme.mget, ids=["ghost", "a"])
    assert [doc["found"] for doc in got["docs"]] == [False, True], got
    print(f"{kind} client, poisoned: ok")
    sys.exit()

assert acme.ping() and acme.info()["version"]["number"]
assert not acme.indices.exists(index="docs")
vector = {"type": "dense_vector", "dims": 3} if elastic else {"type": "knn_vector", "dimension": 3}
created = body(acme.indices.create, mappings={"properties": {"v": vector, "tenant_id": {"type": "text"}}})
assert created["index"] == "docs" and acme.indices.exists(index="docs")
# Without any body at all.
acme.indices.create(index="notes")
assert acme.indices.get(index="notes")["notes"]["mappings"] == {}
assert client(acme_token).count(index="notes")["count"] == 0  # a client's first call, made by the filter
assert acme.count(index="notes")["count"] == 0 and ids(acme.search(index="notes")) == []

documents = {
    "a": {"t": "doc a", "tag": "x", "n": 1, "v": [1.0, 0.0, 0.0]},
    "b": {"t": "doc b", "tag": "x", "n": 2, "v": [0.0, 1.0, 0.0], "tenant_id": "t_beta"},
    "c": {"t": "doc c", "tag": "y", "n": 3, "v": [0.9, 0.1, 0.0]},
}
done, errors = bulk(acme, [{"_index": "docs", "_id": id, "_source": source} for id, source in documents.items()], refresh=True)
assert (done, errors) == (3, [])
one = {"document": {"t": "beta's a", "tag": "x", "n": 10, "v": [1.0, 0.0, 0.0]}} if elastic else {"body": {"t": "beta's a", "tag": "x", "n": 10, "v": [1.0, 0.0, 0.0]}}
assert beta.index(index="docs", id="a", **one)["_id"] == "a"
bulk(beta, [{"_op_type": "index", "_index": "docs", "_id": id, "t": f"beta's {id}", "tag": "z", "n": 20, "v": [0.9, 0.2, 0.0]} for id in ("b", "z")])

everything = search(acme, query={"match_all": {}})
assert ids(everything) == ["a", "b", "c"] and everything["hits"]["total"]["value"] == 3, everything
assert everything["hits"]["hits"][1] == {"_index": "docs", "_id": "b", "_score": 1.0, "_source": {k: v for k, v in documents["b"].items() if k != "tenant_id"}}
assert ids(search(beta, query={"match_all": {}})) == ["a", "b", "z"]
assert ids(search(acme)) == ["a", "b", "c"]
assert acme.count(index="docs")["count"] == 3 and beta.count(index="docs")["count"] == 3
assert body(acme.count, query={"term": {"tag": "x"}})["count"] == 2
assert ids(search(acme, query={"range": {"n": {"gte": 2}}}, sort=[{"n": "desc"}])) == ["c", "b"]
wide = {"bool": {"should": [{"term": {"tenant_id": "t_beta"}}, {"match_all": {}}], "minimum_should_match": 0}}
assert ids(search(acme, query=wide)) == ["a", "b", "c"]
assert ids(search(acme, query={"term": {"tenant_id": "t_beta"}})) == []
assert ids(search(acme, query={"query_string": {"query": "tenant_id:t_beta"}})) == []
assert ids(search(acme, query={"ids": {"values": ["a", "beta:a", "z"]}})) == ["a"]
assert ids(search(acme, query={"terms": {"_id": ["b", "c"]}})) == ["b", "c"]

assert ids(search(acme, **near([1.0, 0.0, 0.0], 2))) == ["a", "c"]
assert ids(search(acme, **near([1.0, 0.0, 0.0], 2, filter={"term": {"tag": "y"}}))) == ["c"]
assert ids(search(acme, **near([1.0, 0.0, 0.0], 9, filter={"term": {"tag": "z"}}))) == []
bare = search(acme, query={"match_all": {}}, _source=False) if not elastic else search(acme, query={"match_all": {}}, source=False)
assert all("_source" not in hit for hit in bare["hits"]["hits"]) and ids(bare) == ["a", "b", "c"]
part = acme.search(index="docs", size=1, _source_includes=["t"]) if not elastic else acme.search(index="docs", size=1, source_includes=["t"])
assert part["hits"]["hits"][0]["_source"] == {"t": "doc a"}, part
if elastic:
    fused = search(acme, retriever={"rrf": {"retrievers": [{"standard": {"query": {"match": {"t": "c"}}}}, {"knn": {"field": "v", "query_vector": [1.0, 0.0, 0.0], "k": 3, "num_candidates": 9}}]}})
    assert ids(fused) == ["c", "a", "b"], fused
else:
    hybrid = {"hybrid": {"queries": [{"match": {"t": "c"}}, {"knn": {"v": {"vector": [1.0, 0.0, 0.0], "k": 2}}}]}}
    assert sorted(ids(search(acme, query=hybrid))) == ["a", "c"]

aggs = {"tags": {"terms": {"field": "tag"}, "aggs": {"mean": {"avg": {"field": "n"}}, "top": {"top_hits": {"size": 1}}}}, "tenants": {"terms": {"field": "tenant_id"}}}
tree = search(acme, size=0, aggs=aggs)["aggregations"]
assert [(b["key"], b["doc_count"], b["mean"]["value"]) for b in tree["tags"]["buckets"]] == [("x", 2, 1.5), ("y", 1, 3.0)], tree
assert [hit["_id"] for hit in tree["tags"]["buckets"][0]["top"]["hits"]["hits"]] == ["a"]
assert [b["key"] for b in tree["tenants"]["buckets"]] == ["t_acme"]
refused(lambda: search(acme, size=0, aggs={"all": {"global": {}}}), "field_unknown")
refused(lambda: search(acme, size=0, aggs={"t": {"terms": {"field": "tenant_id", "min_doc_count": 0}}}), "field_invalid")
refused(lambda: search(acme, query={"terms": {"tag": {"index": "docs", "id": "beta:a", "path": "tag"}}}), "field_invalid")
refused(lambda: search(acme, query={"wrapper": {"query": "e30="}}), "field_unknown")

lines = [{}, {"query": {"match": {"t": "b"}}}, {"index": "docs"}, {"query": {"match_all": {}}, "size": 1, "_source": False}, {}, {"query": {"term": {}}}]
refused(lambda: acme.msearch(index="docs", **{"searches" if elastic else "body": lines}), "field_invalid")
answers = acme.msearch(index="docs", **{"searches" if elastic else "body": lines[:4]})["responses"]
named = acme.msearch(**{"searches" if elastic else "body": [{"index": "notes"}, {}, {"index": "docs"}, {"size": 1}]})["responses"]
assert [ids(answer) for answer in named] == [[], ["a"]]
assert [ids(answer) for answer in answers] == [["b"], ["a"]] and "_source" not in answers[1]["hits"]["hits"][0]

got = acme.get(index="docs", id="a")
assert got["_id"] == "a" and got["_source"] == documents["a"] and beta.get(index="docs", id="a")["_source"]["t"] == "beta's a"
assert acme.get_source(index="docs", id="c")["t"] == "doc c"
assert acme.exists(index="docs", id="a") and not acme.exists(index="docs", id="z")
try:
    acme.get(index="docs", id="z")
    raise AssertionError("another tenant's document was found")
except NotFound as error:
    assert "z" in str(error.info) and "beta" not in str(error.info), error.info
assert [doc["found"] for doc in body(acme.mget, ids=["a", "z"])["docs"]] == [True, False]
try:
    acme.create(index="docs", id="a", **({"document": {}} if elastic else {"body": {}}))
    raise AssertionError("was created twice")
except Conflict as error:
    assert "version conflict" in str(error.info) and "acme" not in str(error.info), error.info

body(acme.update, id="a", doc={"n": 100, "tenant_id": "t_beta"}) if elastic else acme.update(index="docs", id="a", body={"doc": {"n": 100, "tenant_id": "t_beta"}})
assert acme.get(index="docs", id="a")["_source"]["n"] == 100 and beta.get(index="docs", id="a")["_source"]["n"] == 10
script = {"source": "ctx._source.tenant_id = 't_beta'"}
refused(lambda: body(acme.update, id="a", script=script) if elastic else acme.update(index="docs", id="a", body={"script": script}), "field_invalid")
fresh = acme.index(index="docs", **({"document": {"t": "no id", "tag": "w", "n": 7}} if elastic else {"body": {"t": "no id", "tag": "w", "n": 7}}))["_id"]
assert ":" not in fresh and acme.get(index="docs", id=fresh)["_source"]["t"] == "no id"
numbered = {"document": {"t": "seven", "n": 7, "v": [0.0, 0.0, 1.0]}} if elastic else {"body": {"t": "seven", "n": 7, "v": [0.0, 0.0, 1.0]}}
acme.index(index="docs", id="n7", **numbered)

# Clients write the colon of an id as `%3A`.
acme.index(index="docs", id="user:1@x", **numbered)
assert acme.get(index="docs", id="user:1@x")["_id"] == "user:1@x" and not beta.exists(index="docs", id="user:1@x")
assert acme.delete(index="docs", id="user:1@x")["result"] == "deleted"

assert body(beta.delete_by_query, query={"match_all": {}}, max_docs=9)["deleted"] == 3
assert ids(search(acme, query={"match_all": {}}, size=50, sort=[{"n": "asc"}])) == ["b", "c", fresh, "n7", "a"]
assert acme.delete(index="docs", id="b")["result"] == "deleted"
assert acme.delete(index="docs", id=fresh)["_id"] == fresh
bulk(beta, [{"_op_type": "create", "_index": "docs", "_id": "z", "t": "beta's z", "tag": "z", "v": [1.0, 0.0, 0.0]}])
acme.indices.refresh(index="docs")

refused(lambda: acme.search(index="secrets"), "namespace_forbidden")
refused(lambda: acme.search(index="docs,notes"), "namespace_forbidden")
refused(lambda: acme.search(), "endpoint_unknown")
refused(lambda: acme.indices.delete(index="docs"), "namespace_forbidden")
refused(lambda: acme.indices.get_mapping(index="docs"), "endpoint_unknown")
refused(lambda: acme.cat.indices(), "endpoint_unknown")
refused(lambda: acme.search(index="docs", filter_path="took"), "query_forbidden")
refused(lambda: acme.search(index="docs", scroll="1m"), "query_forbidden")
print(f"{kind} client: ok")
