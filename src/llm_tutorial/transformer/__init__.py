"""Transformers in practice: what a pretrained model is made of, and what can be done with one."""
