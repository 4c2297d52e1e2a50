"""The translation proxy: miners that speak Stratum V1 behind one encrypted Stratum V2 link to a pool."""
