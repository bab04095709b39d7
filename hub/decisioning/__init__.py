"""What is decided and by whose leave: authoring, publishing, the hub's own engine."""
