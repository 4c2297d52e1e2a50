"""The part of the table of routes that is about work orders and spare parts."""

from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.fleet.rules.work_orders import Fault, WorkState
from mbongi.web.api import work_structs as structs
from mbongi.web.api import work_views as views
from mbongi.web.api.route import Parameter, Route, one_of, reading, whole

_LIMIT = Parameter("limit", whole(1, 1000, 50), _("rows of one answer"))
_ORDER_PARAMETERS = (
    Parameter(
        "q",
        {"type": "string", "maxLength": 200},
        _("words to find in model, serial number, address, note or position"),
    ),
    Parameter("state", one_of(*(state.value for state in WorkState)), _("only this state, or several with commas")),
    Parameter("fault", one_of(*(fault.value for fault in Fault)), _("only this fault")),
    Parameter("machine", whole(1, 2**31 - 1), _("only this machine")),
    _LIMIT,
    Parameter("offset", whole(0, 2**31 - 1, 0), _("rows to pass over")),
)
_DAYS = Parameter("days", whole(1, 3660, 90), _("days back from now"))
_SEE, _DO, _STOCK = Permission.WORK_VIEW, Permission.WORK_DO, Permission.STOCK_MANAGE

WORK_ROUTES = (
    reading(
        "/work-orders",
        views.work_order_list,
        structs.WorkOrderList,
        _SEE,
        _("Work orders by filter, newest first"),
        *_ORDER_PARAMETERS,
    ),
    reading("/work-orders/{id}", views.work_order, structs.WorkOrderFull, _SEE, _("One work order with its entries")),
    Route(
        "POST",
        "/work-entries",
        views.enter_work,
        structs.WorkReceipts,
        _DO,
        _("Enter something on work orders; an entry that comes twice is kept once"),
        body=structs.WorkEntries,
    ),
    reading("/parts", views.parts, structs.PartList, _SEE, _("Spare parts with what there is of each")),
    Route(
        "POST",
        "/parts",
        views.add_part,
        structs.Part,
        _STOCK,
        _("Add a spare part"),
        body=structs.PartRequest,
        status=201,
    ),
    reading("/parts/{id}", views.part, structs.PartFull, _SEE, _("One spare part with its moves"), _LIMIT),
    Route(
        "POST",
        "/parts/{id}/moves",
        views.move_part,
        structs.Part,
        _STOCK,
        _("Receive, scrap or count a spare part"),
        body=structs.MoveRequest,
    ),
    reading(
        "/repair-statistics",
        views.repair_statistics,
        structs.RepairStatistics,
        _SEE,
        _("Repair statistics by model"),
        _DAYS,
    ),
)
