"""Pictures, subjects and batches."""
