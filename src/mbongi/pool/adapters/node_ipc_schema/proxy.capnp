# What we call of libmultiprocess's proxy.capnp: threads of the node that calls run on.
# Ids, ordinals and names: chaincodelabs/libmultiprocess, include/mp/proxy.capnp, as Bitcoin Core 30 and 31 have it.

@0xcc316e3f71a040fb;

interface ThreadMap {
    makeThread @0 (name :Text) -> (result :Thread);
}

interface Thread {
    getName @0 () -> (result :Text);
}

struct Context {
    thread @0 :Thread;
    callbackThread @1 :Thread;
}
