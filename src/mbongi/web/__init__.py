"""The control room: pages, live updates, the JSON API and the metrics.

Owns no table and no rule of any domain: it asks selectors and services, and shows what they answer with unit and age.
"""
