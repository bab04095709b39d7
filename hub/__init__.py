"""The central hub: customer data, decisioning, delivery, governance and the edges' streams."""
