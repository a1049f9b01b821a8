//! One request for each method of the contract. `$…` stands for something that a tenant has, see `things.rs`.
use serde_json::{Value, json};

/// The request for a method; `None` where there is none, which fails the proof.
pub fn request(method: &str) -> Option<Value> {
    let (service, method) = method.strip_prefix("onekeel.")?.split_once('/')?;
    match service {
        "tenant.v1.TenantService" => of_tenants(method),
        "tenant.v1.AuditService" => of_trails(method),
        "tenant.v1.AddressService" => of_addresses(method),
        "tenant.v1.DomainService" => of_domains(method),
        "tenant.v1.ApiKeyService" => of_api_keys(method),
        "lead.v1.LeadService" => of_leads(method),
        "campaign.v1.CampaignService" => of_campaigns(method),
        "campaign.v1.AgentService" => of_agents(method),
        "campaign.v1.ConversationService" => of_conversations(method),
        "quota.v1.QuotaService" => of_quota(method),
        "quota.v1.LimitService" => of_limits(method),
        "quota.v1.UsageService" => of_usage(method),
        _ => None,
    }
}

fn of_tenants(method: &str) -> Option<Value> {
    Some(match method {
        "CreateTenant" => json!({"display_name": "Other", "slug": "$fresh", "plan": "basic"}),
        "GetTenant" | "GetTenantSettings" | "SuspendTenant" | "SetReadOnly" | "ReactivateTenant" | "DeleteTenant" => {
            json!({"id": "$tenant"})
        }
        "ListTenants" | "GetTenantContext" | "ListTenantChanges" => json!({}),
        "UpdateTenant" => json!({"tenant": {"id": "$tenant", "display_name": "Changed"}, "update_mask": "displayName"}),
        "ResolveTenant" | "CheckHost" => json!({"host": "$host"}),
        "ChangePlan" => json!({"id": "$tenant", "plan": "enterprise"}),
        "UndeleteTenant" => json!({"id": "$deleted_tenant"}),
        "UpdateTenantSettings" => json!({"settings": {"id": "$tenant", "locale": "de"}, "update_mask": "locale"}),
        _ => return None,
    })
}

fn of_trails(method: &str) -> Option<Value> {
    Some(match method {
        "ListAuditEvents" => json!({"client_id": "$tenant"}),
        _ => return None,
    })
}

fn of_addresses(method: &str) -> Option<Value> {
    Some(match method {
        "GetIpAllowlist" => json!({"client_id": "$tenant"}),
        "SetIpAllowlist" => json!({"allowlist": {"client_id": "$tenant", "networks": ["127.0.0.0/8"]}}),
        _ => return None,
    })
}

fn of_domains(method: &str) -> Option<Value> {
    Some(match method {
        "AddDomain" => json!({"name": "$fresh_domain"}),
        "VerifyDomain" | "RemoveDomain" => json!({"id": "$domain"}),
        "ListDomains" => json!({}),
        _ => return None,
    })
}

fn of_api_keys(method: &str) -> Option<Value> {
    Some(match method {
        "CreateApiKey" => json!({"name": "$fresh", "role": "viewer"}),
        "ListApiKeys" => json!({}),
        "RotateApiKey" | "RevokeApiKey" => json!({"id": "$api_key"}),
        "ExchangeApiKey" => json!({"api_key": "$secret"}),
        _ => return None,
    })
}

fn of_leads(method: &str) -> Option<Value> {
    Some(match method {
        "CreateLead" => json!({"lead": {"first_name": "$marker", "external_id": "$fresh"}}),
        "GetLead" | "DeleteLead" => json!({"id": "$lead"}),
        "BatchGetLeads" => json!({"ids": ["$lead"]}),
        "UpdateLead" => json!({"lead": {"id": "$lead", "score": 7}, "update_mask": "score"}),
        "UndeleteLead" => json!({"id": "$deleted_lead"}),
        "ListLeads" | "CountLeads" => json!({}),
        "ImportLeads" => json!({"leads": [{"first_name": "$marker", "external_id": "$fresh"}]}),
        _ => return None,
    })
}

fn of_campaigns(method: &str) -> Option<Value> {
    Some(match method {
        "CreateCampaign" => json!({"campaign": {"name": "$marker", "type": "CAMPAIGN_TYPE_DRIP"}}),
        "GetCampaign" | "DeleteCampaign" => json!({"id": "$campaign"}),
        "ListCampaigns" => json!({}),
        "UpdateCampaign" => {
            json!({"campaign": {"id": "$campaign", "description": "Changed"}, "update_mask": "description"})
        }
        "UndeleteCampaign" => json!({"id": "$deleted_campaign"}),
        _ => return None,
    })
}

fn of_agents(method: &str) -> Option<Value> {
    Some(match method {
        "CreateAgent" => json!({"agent": {"name": "$marker", "type": "CHANNEL_CHAT"}}),
        "GetAgent" | "DeleteAgent" => json!({"id": "$agent"}),
        "ListAgents" => json!({}),
        "UpdateAgent" => json!({"agent": {"id": "$agent", "system_prompt": "Changed"}, "update_mask": "systemPrompt"}),
        "UndeleteAgent" => json!({"id": "$deleted_agent"}),
        _ => return None,
    })
}

fn of_conversations(method: &str) -> Option<Value> {
    Some(match method {
        "StartConversation" => json!({
            "lead_id": "$lead", "campaign_id": "$campaign", "agent_id": "$agent", "channel": "CHANNEL_CHAT"
        }),
        "ListConversations" => json!({"lead_id": "$lead"}),
        "GetConversation" => json!({"id": "$conversation"}),
        "AppendMessage" => json!({"conversation_id": "$conversation", "sender": "SENDER_HUMAN", "text": "$marker"}),
        "ListMessages" => json!({"conversation_id": "$conversation"}),
        _ => return None,
    })
}

fn of_quota(method: &str) -> Option<Value> {
    Some(match method {
        "ListPlans" | "GetQuota" | "WatchQuota" => json!({}),
        "AssignPlan" => json!({"plan": "enterprise"}),
        "Reserve" => json!({"items": [{"resource": "RESOURCE_LEADS", "min": 1, "max": 1}]}),
        "ReleaseReservation" => json!({"id": "$lease"}),
        "AcquireAllowance" => json!({"want": 1, "least": 1}),
        "AcquireAllowances" => json!({"wishes": [{"request": {"want": 1, "least": 1}}]}),
        _ => return None,
    })
}

fn of_limits(method: &str) -> Option<Value> {
    Some(match method {
        "PublishPlan" => json!({"plan": {
            "id": "$fresh", "version": 1, "display_name": "New", "requests_per_minute": 100,
            "limits": [
                {"resource": "RESOURCE_LEADS", "max": 1000}, {"resource": "RESOURCE_CAMPAIGNS", "max": 5},
                {"resource": "RESOURCE_AGENTS", "max": 2}, {"resource": "RESOURCE_STORAGE_BYTES", "max": 1_073_741_824}
            ]
        }}),
        "PreviewPlanChange" => json!({"client_id": "$tenant", "plan": "basic"}),
        "SetOverride" => json!({"client_id": "$tenant", "resource": "leads", "limit": 7, "reason": "a trial"}),
        "EndOverrides" => json!({"client_id": "$tenant", "resource": "leads"}),
        "ListOverrides" | "VerifyUsage" => json!({"client_id": "$tenant"}),
        "ReconcileUsage" => json!({"client_id": "$tenant", "reason": "a drill"}),
        _ => return None,
    })
}

fn of_usage(method: &str) -> Option<Value> {
    Some(match method {
        "GetUsageReport" => json!({"client_id": "$tenant", "start_date": "2026-01-01", "end_date": "2026-12-31"}),
        "PublishPriceList" => json!({"price_list": {
            "start_date": "$day", "currency_code": "USD",
            "prices": [{"unit": "USAGE_UNIT_REQUESTS", "micros": 3, "units": 1}]
        }}),
        "ListPriceLists" => json!({}),
        _ => return None,
    })
}
