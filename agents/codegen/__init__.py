"""What BUILDER works with: specifications of deliverables, and the renderers by kind of program."""
