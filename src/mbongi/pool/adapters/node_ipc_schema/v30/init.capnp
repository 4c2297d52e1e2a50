# What we call of Bitcoin Core's first object; @1 is never called.
# Ids, ordinals and names: bitcoin/bitcoin, src/ipc/capnp/init.capnp, of Bitcoin Core 30.

@0xf2c5cfa319406aa6;

using Proxy = import "../proxy.capnp";
using Mining = import "mining.capnp";

interface Init {
    construct @0 (threadMap :Proxy.ThreadMap) -> (threadMap :Proxy.ThreadMap);
    notCalled1 @1 ();
    makeMining @2 (context :Proxy.Context) -> (result :Mining.Mining);
}
