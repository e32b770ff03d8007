"""One controller a resource."""

from server.controllers.chat import ChatController
from server.controllers.health import HealthController
from server.controllers.models import ModelsController
from server.controllers.queue import QueueController
from server.controllers.responses import ResponsesController

__all__ = ["ChatController", "HealthController", "ModelsController", "QueueController", "ResponsesController"]
