"""Which adapter speaks to which family."""

import functools

from mbongi.fleet.adapters.antminer import Antminer
from mbongi.fleet.adapters.avalon import Avalon
from mbongi.fleet.adapters.bitaxe import Bitaxe
from mbongi.fleet.adapters.braiins import Braiins
from mbongi.fleet.adapters.long_tail import LongTail
from mbongi.fleet.adapters.luxos import LuxOs
from mbongi.fleet.adapters.vnish import VNish
from mbongi.fleet.adapters.whatsminer import Whatsminer
from mbongi.fleet.adapters.whatsminer_v3 import WhatsminerV3
from mbongi.fleet.ports import Adapter
from mbongi.fleet.values import Family


@functools.cache
def adapter_of(family: Family) -> Adapter:
    """The family's adapter. Adapters keep nothing, so one serves all machines."""
    adapters: dict[Family, Adapter] = {
        Family.ANTMINER: Antminer(),
        Family.WHATSMINER: Whatsminer(),
        Family.BITAXE: Bitaxe(),
        Family.BRAIINS: Braiins(),
        Family.LUXOS: LuxOs(),
        Family.VNISH: VNish(),
        Family.WHATSMINER_V3: WhatsminerV3(),
        Family.AVALON: Avalon(),
        Family.OTHER: LongTail(),
    }
    return adapters[family]
