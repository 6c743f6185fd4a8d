// The dropping detector: the newest window of a measure is clearly below the customer's own earlier
// ones (comparison.h).
#include "detect/comparison.h"

namespace heartbeatd {

Detector MakeDropping(MapReader& fields, const DetectorContext& context) {
  return MakeComparison(fields, context, Direction::kDown);
}

}  // namespace heartbeatd
