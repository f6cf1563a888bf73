"""What a person reviews at a checkpoint."""
