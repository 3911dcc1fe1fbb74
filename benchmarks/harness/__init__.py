"""How things are measured and told: contenders in turns, claims, records, the page and its charts."""
