# Ids, ordinals and names: bitcoin/bitcoin, src/ipc/capnp/common.capnp, of Bitcoin Core 30 and 31.

@0xcd2c6232cb484a28;

struct BlockRef {
    hash @0 :Data;
    height @1 :Int32;
}
