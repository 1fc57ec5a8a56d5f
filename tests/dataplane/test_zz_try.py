import time, threading
from tests.peers import redis
from redis.crc import key_slot
from tests.peers.redis import *
from tests.dataplane.support import *
from tests.dataplane.support_redis import *
def test_x(mesh):
  t=time.time()
  from tests.peers import redis as R
  with R.RedisCluster() as cl:
    print("cluster", time.time()-t); t=time.time()
    ats={}
    for name, s in {"plain":"opTimeout: 60s", "redir":"enableRedirection: true"}.items():
        ats[name] = mesh.service(name, {"tcp-redis":6379}, cl.servers[0].address)
        mesh.add(redis_destination(f"{{host: {name}, trafficPolicy: {{connectionPool: {{redis: {{mode: CLUSTER}}}}}}}}", name=name))
        mesh.add(redis_service(f"{{host: [{name}], settings: {{{s}}}}}", name=name))
    sc = mesh.client()
    print("client", time.time()-t); t=time.time()
    print(sc.made.findings_text)
    print(sc.envoy.clusters())
    for name, at in ats.items():
        with client(at) as c:
            for i in range(200): c.set(f"k{i}", i)
            print(name, [len(x.keys()) for x in cl.servers])
    errs={n:[] for n in ats}; oks={n:0 for n in ats}; stop=threading.Event()
    def load(name):
        with client(ats[name]) as c:
            i=0
            while not stop.is_set():
                i+=1
                try:
                    c.set(f"{{k}}{i%50}", i); assert c.get(f"{{k}}{i%50}")==str(i); oks[name]+=1
                except Exception as e: errs[name].append((time.time(), repr(e)))
    ts=[threading.Thread(target=load,args=(n,)) for n in ats for _ in range(1)]
    for x in ts: x.start()
    time.sleep(.2)
    owner=cl.owner("{k}"); target=next(s for s in cl.servers if s is not owner)
    t=time.time()
    with cl.moving_slot(key_slot(b"k"), target):
        time.sleep(.3)
    moved=time.time()
    time.sleep(7)
    stop.set(); [x.join() for x in ts]
    for n in ats:
        print(n, oks[n], len(errs[n]), [(round(a-t,2), b) for a,b in errs[n][:3]], round(errs[n][-1][0]-moved,2) if errs[n] else None)
    print({k:v for k,v in sc.envoy.stats().items() if 'redis_cluster' in k and v}, {k:v for k,v in sc.envoy.stats().items() if 'redirect' in k and v})
    assert 0
