"""A model as a service: embeddings in batches, text token by token, and an answer to whatever goes wrong.

``batching`` gathers requests into batches, ``engines`` holds the models, ``metrics`` counts, ``app`` joins them to a
FastAPI application, ``load`` drives it as strangers would. ``python -m llm_tutorial.transformer.serve`` starts it.
"""
