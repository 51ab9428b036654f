//! Traces, to a collector over OTLP (protobuf over HTTP). Where it is, and what is sampled, comes
//! from the variables of OpenTelemetry, as every program has them.

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use super::span::TARGET;

/// The service, as collectors show it.
const NAME: &str = "zephr-sync";

/// Either says where the collector is; without one nothing is sent.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Turns all of it off, as everywhere.
const DISABLED: &str = "OTEL_SDK_DISABLED";

/// The attribute that says which program sent a span, and what the SDK makes of it when nobody
/// says.
const SERVICE: (&str, &str) = ("service.name", "unknown_service");

/// Sends spans while it is there.
#[derive(Debug)]
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts sending, if the environment says where to.
    ///
    /// # Errors
    /// What it says cannot be used. What exactly is not said: an address may hold a secret.
    pub(super) fn start() -> Result<Option<Self>, super::Error> {
        let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let disabled = said(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if disabled || ENDPOINTS.iter().all(|name| said(name).is_none()) {
            return Ok(None);
        }
        // Fails only when a provider was installed before, which is then the one to use.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder().with_http().build();
        let exporter = exporter.map_err(|_| super::Error::Traces)?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(exporter);
        Ok(Some(Self(provider.build())))
    }

    /// Our spans, and nothing else: lines of the log are not sent.
    pub(super) fn layer<S>(&self) -> impl Layer<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(NAME))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, Level::INFO))
    }

    /// Sends what is left. Waits for the collector, though not for long.
    pub(super) fn finish(self) {
        // A collector that is away is no reason for a command to fail; that it is away was logged.
        let _ = self.0.shutdown();
    }
}

fn resource() -> Resource {
    let (key, unknown) = SERVICE;
    let said = Resource::builder().build();
    let named = said.get(&key.into());
    let mut resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if named.is_none_or(|name| name.as_str().starts_with(unknown)) {
        resource = resource.with_service_name(NAME);
    }
    resource.build()
}
