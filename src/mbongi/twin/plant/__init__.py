"""The virtual site's plant: power path, gensets, UPS and cooling, which can fail and speak the real protocols."""
