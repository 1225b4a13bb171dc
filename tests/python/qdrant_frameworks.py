"""LangChain's and LlamaIndex's own Qdrant stores, unchanged, as two tenants on one collection, through the proxy.

usage: qdrant_frameworks.py EDGE_PORT ACME_TOKEN BETA_TOKEN
"""

import math
import sys

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from llama_index.vector_stores.qdrant import QdrantVectorStore as LlamaStore
from qdrant_client import QdrantClient
from qdrant_client import models as m

edge, tokens = int(sys.argv[1]), {"acme": sys.argv[2], "beta": sys.argv[3]}
SIZE = 16


def embed(text):
    """A bag of letters: alike for alike texts, the same everywhere."""
    vector = [0.1] * SIZE
    for letter in text.lower():
        vector[ord(letter) % SIZE] += 1.0
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


class Letters(Embeddings):
    def embed_documents(self, texts):
        return [embed(text) for text in texts]

    def embed_query(self, text):
        return embed(text)


class LlamaLetters(BaseEmbedding):
    def _get_query_embedding(self, query):
        return embed(query)

    async def _aget_query_embedding(self, query):
        return embed(query)

    def _get_text_embedding(self, text):
        return embed(text)


def client(tenant):
    headers = {"Authorization": f"Bearer {tokens[tenant]}", "Host": "qdrant.test"}
    return QdrantClient(host="127.0.0.1", port=edge, headers=headers, prefer_grpc=False, check_compatibility=False)


clients = {tenant: client(tenant) for tenant in tokens}
clients["acme"].create_collection("docs", vectors_config=m.VectorParams(size=SIZE, distance=m.Distance.COSINE))

# LangChain.
texts = ["the price is secret", "the menu of the day", "lunch is at noon"]
stores = {t: QdrantVectorStore(client=c, collection_name="docs", embedding=Letters()) for t, c in clients.items()}
ids = {}
for tenant, store in stores.items():
    documents = [Document(page_content=f"{tenant}: {text}", metadata={"kind": "a" if n else "b"}) for n, text in enumerate(texts)]
    # The same ids for both, as a pipeline makes them that hashes a document's name.
    ids[tenant] = store.add_documents(documents, ids=[f"00000000-0000-0000-0000-00000000000{n}" for n in range(3)])
assert ids["acme"] == ids["beta"]
for tenant, store in stores.items():
    found = store.as_retriever(search_kwargs={"k": 9}).invoke("the price is secret")
    assert len(found) == 3 and all(d.page_content.startswith(f"{tenant}: ") for d in found), found
    assert found[0].page_content == f"{tenant}: the price is secret", found
    assert all(set(d.metadata) == {"kind", "_id", "_collection_name"} for d in found), found[0].metadata
    assert [d.metadata["_id"] for d in found if "noon" in d.page_content] == [ids[tenant][2]]
    only = m.Filter(must=[m.FieldCondition(key="metadata.kind", match=m.MatchValue(value="b"))])
    assert [d.page_content for d in store.similarity_search("lunch", k=9, filter=only)] == [f"{tenant}: the price is secret"]
    assert len(store.similarity_search_with_score("lunch", k=2)) == 2
    assert len(store.max_marginal_relevance_search("lunch", k=2, fetch_k=3)) == 2
    by_id = store.get_by_ids([ids[tenant][1]])
    assert [d.page_content for d in by_id] == [f"{tenant}: the menu of the day"], by_id
stores["beta"].delete([ids["beta"][0]])
assert len(stores["acme"].similarity_search("price", k=9)) == 3 and len(stores["beta"].similarity_search("price", k=9)) == 2

# LlamaIndex, in another collection that both tenants share.
indexes = {}
for tenant, c in clients.items():
    store = LlamaStore(collection_name="notes", client=c)
    nodes = [TextNode(text=f"{tenant}: {text}", id_=f"10000000-0000-0000-0000-00000000000{n}", metadata={"kind": str(n % 2)}) for n, text in enumerate(texts)]
    context = StorageContext.from_defaults(vector_store=store)
    indexes[tenant] = VectorStoreIndex(nodes, storage_context=context, embed_model=LlamaLetters())
for tenant, index in indexes.items():
    found = index.as_retriever(similarity_top_k=9).retrieve("the price is secret")
    assert len(found) == 3 and all(n.text.startswith(f"{tenant}: ") for n in found), found
    assert sorted(n.node_id for n in found) == [f"10000000-0000-0000-0000-00000000000{n}" for n in range(3)]
    wanted = MetadataFilters(filters=[MetadataFilter(key="kind", value="1")])
    assert [n.text for n in index.as_retriever(similarity_top_k=9, filters=wanted).retrieve("x")] == [f"{tenant}: the menu of the day"]
    nodes = index.vector_store.get_nodes(["10000000-0000-0000-0000-000000000002"])
    assert [n.text for n in nodes] == [f"{tenant}: lunch is at noon"], nodes
indexes["beta"].vector_store.delete_nodes(["10000000-0000-0000-0000-000000000000"])
assert len(indexes["acme"].as_retriever(similarity_top_k=9).retrieve("x")) == 3
assert len(indexes["beta"].as_retriever(similarity_top_k=9).retrieve("x")) == 2
print("qdrant frameworks: ok")
