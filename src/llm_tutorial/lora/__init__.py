"""Chapter `lora`: low-rank adaptation, and relation-aware sparse attention."""
