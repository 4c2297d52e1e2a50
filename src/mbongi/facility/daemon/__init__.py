"""What runs within the facility process."""
