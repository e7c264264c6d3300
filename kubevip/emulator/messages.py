"""The objects of the API, field by field: names, types, wire numbers and merge keys, as a table.

One row is one message. A field is ``name[flags]=number[:type[/merge key]]``; without a type it is a string.
Flags: ``*`` an absent value differs from an empty one (a pointer in the real server); ``!`` it is written
even when it is empty. Types: ``[]T`` a list, ``{}T`` a map, ``any`` not looked into,
``ignored`` dropped. A list with a merge
key is merged item by item by a strategic merge patch; an empty key means a set. Numbers and flags are those
of k8s.io/api v0.35 and serve three readers: the check of what clients send, the reader of protobuf, the patches.
"""

TABLE = """
ObjectMeta name=1 generateName=2 namespace=3 selfLink=4 uid=5 resourceVersion=6 generation=7:int64
  creationTimestamp=8:Time deletionTimestamp*=9:Time deletionGracePeriodSeconds*=10:int64 labels=11:{} annotations=12:{}
  ownerReferences=13:[]OwnerReference/uid finalizers=14:[]/ managedFields=17:ignored
OwnerReference apiVersion!=5 kind!=1 name!=3 uid!=4 controller*=6:bool blockOwnerDeletion*=7:bool
Condition type!=1 status!=2 observedGeneration=3:int64 lastTransitionTime!=4:Time reason!=5 message!=6
LabelSelector matchLabels=1:{} matchExpressions=2:[]LabelSelectorRequirement
LabelSelectorRequirement key!=1 operator!=2 values=3:[]
ObjectReference kind=1 namespace=2 name=3 uid=4 apiVersion=5 resourceVersion=6 fieldPath=7
LocalObjectReference name=1

Namespace metadata=1:ObjectMeta spec=2:NamespaceSpec status=3:NamespaceStatus
NamespaceSpec finalizers=1:[]
NamespaceStatus phase=1 conditions=2:[]NamespaceCondition/type
NamespaceCondition type!=1 status!=2 lastTransitionTime=4:Time reason=5 message=6

Service metadata=1:ObjectMeta spec=2:ServiceSpec status=3:ServiceStatus
ServiceSpec ports=1:[]ServicePort/port selector=2:{} clusterIP=3 clusterIPs=18:[] type=4 externalIPs=5:[]
  sessionAffinity=7 loadBalancerIP=8 loadBalancerSourceRanges=9:[] externalName=10 externalTrafficPolicy=11
  healthCheckNodePort=12:int32 publishNotReadyAddresses=13:bool sessionAffinityConfig*=14:SessionAffinityConfig
  ipFamilies=19:[] ipFamilyPolicy*=17 allocateLoadBalancerNodePorts*=20:bool loadBalancerClass*=21
  internalTrafficPolicy*=22 trafficDistribution*=23
ServicePort name=1 protocol=2 appProtocol*=6 port!=3:int32 targetPort=4:IntOrString nodePort=5:int32
SessionAffinityConfig clientIP*=1:ClientIPConfig
ClientIPConfig timeoutSeconds*=1:int32
ServiceStatus loadBalancer=1:LoadBalancerStatus conditions=2:[]Condition/type
LoadBalancerStatus ingress=1:[]LoadBalancerIngress
LoadBalancerIngress ip=1 hostname=2 ipMode*=3 ports=4:[]PortStatus
PortStatus port!=1:int32 protocol!=2 error*=3

Endpoints metadata=1:ObjectMeta subsets=2:[]EndpointSubset
EndpointSubset addresses=1:[]EndpointAddress notReadyAddresses=2:[]EndpointAddress ports=3:[]EndpointPort
EndpointAddress ip!=1 hostname=3 nodeName*=4 targetRef*=2:ObjectReference
EndpointPort name=1 port!=2:int32 protocol=3 appProtocol*=4

EndpointSlice metadata=1:ObjectMeta addressType!=4 endpoints!=2:[]Endpoint ports!=3:[]discovery.EndpointPort
Endpoint addresses!=1:[] conditions=2:EndpointConditions hostname*=3 targetRef*=4:ObjectReference
  deprecatedTopology=5:{} nodeName*=6 zone*=7 hints*=8:EndpointHints
EndpointConditions ready*=1:bool serving*=2:bool terminating*=3:bool
EndpointHints forZones=1:[]ForZone forNodes=2:[]ForNode
ForZone name!=1
ForNode name!=1
discovery.EndpointPort name*=1 protocol*=2 port*=3:int32 appProtocol*=4

Node metadata=1:ObjectMeta spec=2:NodeSpec status=3:NodeStatus
NodeSpec podCIDR=1 podCIDRs=7:[]/ providerID=3 unschedulable=4:bool taints=5:[]Taint configSource*=6:any externalID=2
Taint key!=1 value=2 effect!=3 timeAdded*=4:Time
NodeStatus capacity=1:{}Quantity allocatable=2:{}Quantity phase=3 conditions=4:[]NodeCondition/type
  addresses=5:[]NodeAddress/type daemonEndpoints=6:NodeDaemonEndpoints nodeInfo=7:NodeSystemInfo
  images=8:[]ContainerImage volumesInUse=9:[] volumesAttached*=10:any config*=11:any runtimeHandlers*=12:any
  features*=13:any declaredFeatures=14:[]
NodeCondition type!=1 status!=2 lastHeartbeatTime=3:Time lastTransitionTime=4:Time reason=5 message=6
NodeAddress type!=1 address!=2
NodeDaemonEndpoints kubeletEndpoint=1:DaemonEndpoint
DaemonEndpoint Port!=1:int32
NodeSystemInfo machineID!=1 systemUUID!=2 bootID!=3 kernelVersion!=4 osImage!=5 containerRuntimeVersion!=6
  kubeletVersion!=7 kubeProxyVersion!=8 operatingSystem!=9 architecture!=10 swap*=11:any
ContainerImage names!=1:[] sizeBytes=2:int64

ConfigMap metadata=1:ObjectMeta immutable*=4:bool data=2:{} binaryData=3:{}bytes
Secret metadata=1:ObjectMeta immutable*=5:bool data=2:{}bytes stringData=4:{} type=3
ServiceAccount metadata=1:ObjectMeta secrets=2:[]ObjectReference/name imagePullSecrets=3:[]LocalObjectReference
  automountServiceAccountToken*=4:bool

Lease metadata=1:ObjectMeta spec=2:LeaseSpec
LeaseSpec holderIdentity*=1 leaseDurationSeconds*=2:int32 acquireTime*=3:MicroTime renewTime*=4:MicroTime
  leaseTransitions*=5:int32 strategy*=6:ignored preferredHolder*=7:ignored

Event metadata=1:ObjectMeta involvedObject=2:ObjectReference reason=3 message=4 source=5:EventSource
  firstTimestamp=6:Time lastTimestamp=7:Time count=8:int32 type=9 eventTime=10:MicroTime series*=11:EventSeries
  action=12 related*=13:ObjectReference reportingComponent!=14 reportingInstance!=15
EventSource component=1 host=2
EventSeries count=1:int32 lastObservedTime=2:MicroTime

Role metadata=1:ObjectMeta rules!=2:[]PolicyRule
ClusterRole metadata=1:ObjectMeta rules!=2:[]PolicyRule aggregationRule*=3:AggregationRule
PolicyRule verbs!=1:[] apiGroups=2:[] resources=3:[] resourceNames=4:[] nonResourceURLs=5:[]
AggregationRule clusterRoleSelectors=1:[]LabelSelector
RoleBinding metadata=1:ObjectMeta subjects=2:[]Subject roleRef=3:RoleRef
ClusterRoleBinding metadata=1:ObjectMeta subjects=2:[]Subject roleRef=3:RoleRef
Subject kind!=1 apiGroup=2 name!=3 namespace=4
RoleRef apiGroup!=1 kind!=2 name!=3

SelfSubjectAccessReview metadata=1:ObjectMeta spec=2:SelfSubjectAccessReviewSpec status=3:ignored
SelfSubjectAccessReviewSpec resourceAttributes*=1:ResourceAttributes nonResourceAttributes*=2:NonResourceAttributes
ResourceAttributes namespace=1 verb=2 group=3 version=4 resource=5 subresource=6 name=7 fieldSelector*=8:any
  labelSelector*=9:any
NonResourceAttributes path=1 verb=2
SelfSubjectReview metadata=1:ObjectMeta status=2:ignored

Pod metadata=1:ObjectMeta spec*=2:any status*=3:any
DaemonSet metadata=1:ObjectMeta spec*=2:any status*=3:any
Deployment metadata=1:ObjectMeta spec*=2:any status*=3:any
ReplicaSet metadata=1:ObjectMeta spec*=2:any status*=3:any

DeleteOptions gracePeriodSeconds*=1:int64 preconditions*=2:Preconditions orphanDependents*=3:bool
  propagationPolicy*=4 dryRun=5:[] ignoreStoreReadErrorWithClusterBreakingPotential*=6:bool
Preconditions uid*=1 resourceVersion*=2
Unknown typeMeta=1:TypeMeta raw=2:bytes contentEncoding=3 contentType=4
TypeMeta apiVersion=1 kind=2
"""
"""Rows are separated by line breaks; an indented line goes on with the row before it."""
