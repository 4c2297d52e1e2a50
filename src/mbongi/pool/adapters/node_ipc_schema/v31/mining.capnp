# What we call of Bitcoin Core's mining interface; a notCalled holds the place of what we do not.
# Ids, ordinals and names: bitcoin/bitcoin, src/ipc/capnp/mining.capnp, of Bitcoin Core 31.

@0xc77d03df6a41b505;

using Common = import "../common.capnp";
using Proxy = import "../proxy.capnp";

interface Mining {
    notCalled0 @0 ();
    notCalled1 @1 ();
    getTip @2 (context :Proxy.Context) -> (result :Common.BlockRef, hasResult :Bool);
    notCalled3 @3 ();
    createNewBlock @4 (context :Proxy.Context, options :BlockCreateOptions, cooldown :Bool = true)
        -> (result :BlockTemplate);
}

interface BlockTemplate {
    destroy @0 (context :Proxy.Context) -> ();
    notCalled1 @1 ();
    getBlock @2 (context :Proxy.Context) -> (result :Data);
    getTxFees @3 (context :Proxy.Context) -> (result :List(Int64));
    notCalled4 @4 ();
    notCalled5 @5 ();
    getCoinbaseMerklePath @6 (context :Proxy.Context) -> (result :List(Data));
    submitSolution @7 (context :Proxy.Context, version :UInt32, timestamp :UInt32, nonce :UInt32, coinbase :Data)
        -> (result :Bool);
    waitNext @8 (context :Proxy.Context, options :BlockWaitOptions) -> (result :BlockTemplate);
}

struct BlockCreateOptions {
    useMempool @0 :Bool = true;
    blockReservedWeight @1 :UInt64 = 8000;
    coinbaseOutputMaxAdditionalSigops @2 :UInt64 = 400;
}

struct BlockWaitOptions {
    timeout @0 :Float64 = 1.7976931348623157e308;
    feeThreshold @1 :Int64 = 2100000000000000;
}
