"""A request, the tunnel it becomes, what shows inside it, and judging it again."""
