"""The mining pool: templates from the site's own nodes, work for miners, and every share that they send.

It owns the share log, the pool's jobs and its part in the chain: what a block may hold and who is paid by it.
"""
