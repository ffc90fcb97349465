"""From "<alice> and <bob> in the snow" and pictures to a multimodal prompt."""
