"""LangChain's and LlamaIndex's retrievers over Chroma, unmodified, as two tenants at once on one collection, through the proxy.

usage: chroma_frameworks.py EDGE_PORT ACME_TOKEN BETA_TOKEN
"""

import hashlib
import sys

import chromadb
from chromadb.config import Settings
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import ExactMatchFilter, MetadataFilters
from llama_index.vector_stores.chroma import ChromaVectorStore

edge, tokens = int(sys.argv[1]), dict(acme=sys.argv[2], beta=sys.argv[3])


def vector(text):
    """A deterministic stand-in for a model: similar texts share words, and so directions."""
    out = [0.0] * 16
    for word in text.lower().split():
        out[hashlib.sha256(word.encode()).digest()[0] % 16] += 1.0
    return out


class Words(Embeddings):
    def embed_documents(self, texts):
        return [vector(text) for text in texts]

    def embed_query(self, text):
        return vector(text)


class LlamaWords(BaseEmbedding):
    def _get_query_embedding(self, query):
        return vector(query)

    def _get_text_embedding(self, text):
        return vector(text)

    async def _aget_query_embedding(self, query):
        return vector(query)


def client(tenant):
    headers = {"Authorization": f"Bearer {tokens[tenant]}", "Host": "chroma.test"}
    return chromadb.HttpClient(host="127.0.0.1", port=edge, headers=headers, settings=Settings(anonymized_telemetry=False))


secret = {"acme": "merger with Falcon closes in May", "beta": "merger with Heron closes in June"}
common = "our holidays are in the handbook"

# LangChain: the same ids for both tenants, as its indexer makes them from the text.
stores = {who: Chroma(collection_name="docs", embedding_function=Words(), client=client(who)) for who in tokens}
for who, store in stores.items():
    documents = [
        Document(page_content=secret[who], metadata={"kind": "plan"}),
        Document(page_content=common, metadata={"kind": "note"}),
    ]
    store.add_documents(documents, ids=["plan", "handbook"])
for who, store in stores.items():
    retriever = store.as_retriever(search_kwargs={"k": 4})
    texts = sorted(document.page_content for document in retriever.invoke("merger closes"))
    assert texts == sorted([secret[who], common]), (who, texts)
    best = store.similarity_search_with_score("merger closes", k=1)
    assert [document.page_content for document, _ in best] == [secret[who]], best
    filtered = store.similarity_search("merger", k=4, filter={"kind": "note"})
    assert [document.page_content for document in filtered] == [common]
    assert sorted(store.get()["ids"]) == ["handbook", "plan"]
    assert store.max_marginal_relevance_search("merger", k=2, fetch_k=4)
stores["beta"].delete(ids=["plan", "handbook"])
assert [d.page_content for d in stores["acme"].similarity_search("merger closes", k=1)] == [secret["acme"]]
assert stores["beta"].similarity_search("merger closes", k=4) == []
stores["acme"].delete(ids=["plan", "handbook"])

# LlamaIndex.
indexes = {}
for who in tokens:
    collection = client(who).get_or_create_collection("notes", embedding_function=None)
    context = StorageContext.from_defaults(vector_store=ChromaVectorStore(chroma_collection=collection))
    nodes = [TextNode(id_="plan", text=secret[who], metadata={"kind": "plan"}), TextNode(id_="handbook", text=common, metadata={"kind": "note"})]
    indexes[who] = VectorStoreIndex(nodes, storage_context=context, embed_model=LlamaWords())
for who, index in indexes.items():
    found = index.as_retriever(similarity_top_k=4).retrieve("merger closes")
    assert sorted(node.text for node in found) == sorted([secret[who], common]), (who, found)
    filters = MetadataFilters(filters=[ExactMatchFilter(key="kind", value="plan")])
    found = index.as_retriever(similarity_top_k=4, filters=filters).retrieve("merger")
    assert [node.text for node in found] == [secret[who]], found
print("frameworks: ok")
